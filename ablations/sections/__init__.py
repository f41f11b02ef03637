"""The MRM paper as a list of sections: their runs without doubles, and one page of all."""
