"""Results in SQL, and the tables read from them; knows no runner and no session."""
