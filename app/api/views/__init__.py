"""Response bodies, as structs."""
