"""Messages stay readable whatever somebody wrote into a recipe."""

from ganrun.errors import LINE_LENGTH, UserError, clipped, nearest, shortened


def test_a_long_text_is_cut_and_a_short_one_stays():
    assert shortened("a  b\nc") == "a b c"
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 56 + " ..."
    assert len(shortened("a b " * 100_000)) == 60


def test_of_a_long_line_the_beginning_and_the_end_are_kept():
    long = "a.yaml:1:2: " + "x" * 100_000 + "; write another"
    assert str(UserError(f"one\n{long}\ntwo")).split("\n")[::2] == ["one", "two"]
    line = clipped(long)
    assert line.startswith("a.yaml:1:2: xxx")
    assert line.endswith("xxx; write another")
    assert len(line) < LINE_LENGTH
    assert clipped("y" * LINE_LENGTH) == "y" * LINE_LENGTH


def test_a_name_of_megabytes_is_near_nothing():
    assert nearest("x" * 1_000_000, ["hinge"]) == ""
