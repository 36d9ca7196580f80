"""Table tests of the router: a scripted clock and seeded chance."""
