"""Text that looks different from its characters: raised text, symbol fonts, formulas and numbers of list items."""
