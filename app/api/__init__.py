"""The face: routes, response structs, the problem table, conditional answers."""
