"""Word and PowerPoint files up to 2003 (.doc, .ppt), and Rich Text Format."""
