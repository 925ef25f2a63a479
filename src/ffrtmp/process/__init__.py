"""Start, watch, limit, pause and end child processes. Nothing here knows of video or jobs."""
