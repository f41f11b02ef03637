"""Tables as text: for a terminal, a page, a paper, a spreadsheet."""
