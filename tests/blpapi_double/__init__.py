"""The folder of a stand-in for Bloomberg's library: put on the path, `import blpapi` finds it."""
