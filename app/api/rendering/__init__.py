"""Views to bytes: representations, entity tags, response headers, tables, codings, problems."""
