"""What the glasses see, in a browser: the page and its bridge (extra: view)."""
