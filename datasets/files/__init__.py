"""Files as data sets ship them: found, looked into, decoded."""
