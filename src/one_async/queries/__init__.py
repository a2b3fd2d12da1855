"""Where answers come from: tables, the server, or both. Each source answers the same questions."""
