"""A trick that is one function."""

from ganrun.words.hooks import hookimpl


def listener(event, function):
    """A trick class that calls a function in one event."""

    def method(self, turn):
        function(turn)

    return type("Listener", (), {event: hookimpl(named(method, event)), "strength": ""})


def named(function, name):
    function.__name__ = name
    return function
