"""What every program of ours needs of Python itself: threads beside an event loop, the collector, open files."""
