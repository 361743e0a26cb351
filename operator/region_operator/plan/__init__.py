"""What is to be done: the changes, which of them the deletion guard lets pass, and how both are reported. Pure."""
