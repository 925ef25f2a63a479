"""The routes, thin: read the request, call the store or the planner, wake who must know, answer a view."""
