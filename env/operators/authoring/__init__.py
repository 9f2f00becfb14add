"""For people who write tasks: a new folder to begin with, and everything that can be wrong with one."""
