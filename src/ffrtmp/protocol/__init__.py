"""What goes over the wire: bodies of people (`bodies`), of agents (`agent`), problem documents (`problems`)."""
