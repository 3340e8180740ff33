"""What files of many formats are made of: XML, ZIP archives, Office packages, and the OLE2 files of old Office."""
