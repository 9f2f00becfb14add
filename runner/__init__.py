"""A script in, a result out, on n devices; knows no session and no SQL."""
