"""What each kind of plugin has to offer, and the events of a run."""
