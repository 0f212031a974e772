"""The components, one folder each; a file name means the same in every one."""
