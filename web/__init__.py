"""The application: routes, auth, settings, the command line and the two pages."""
