"""The body: template tissue maps, a seeded warp, what surrounds the brain, and the fibres in it."""
