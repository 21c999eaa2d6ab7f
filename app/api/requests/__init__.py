"""What a request says, read strictly: parameters, Cache-Control, Accept, credentials, ids."""
