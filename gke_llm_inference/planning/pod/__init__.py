"""What a team needs in the pods of a server beside what is planned."""
