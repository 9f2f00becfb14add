"""The room that loads an agent's script: builds its model and answers the judge's requests."""
