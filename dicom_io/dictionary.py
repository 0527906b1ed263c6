"""Binary value representations of elements that Betz reads, where a data set does not say them (implicit VR, UN)."""

BINARY: dict[int, bytes] = {
    0x0018_9073: b"FD",  # acquisition duration
    0x0018_9079: b"FD",  # inversion times
    0x0018_9082: b"FD",  # effective echo time
    0x0018_9087: b"FD",  # diffusion b-value
    0x0018_9089: b"FD",  # diffusion gradient orientation
    0x0018_9098: b"FD",  # transmitter frequency
    0x0018_9052: b"FD",  # spectral width
    0x0018_9240: b"US",  # RF echo train length
    0x0018_9241: b"US",  # gradient echo train length
    0x0020_9057: b"UL",  # in-stack position
    0x0020_9128: b"UL",  # temporal position index
    0x0020_9157: b"UL",  # dimension index values
    0x0028_0002: b"US",  # samples per pixel
    0x0028_0010: b"US",  # rows
    0x0028_0011: b"US",  # columns
    0x0028_9001: b"UL",  # data point rows
    0x0028_9002: b"UL",  # data point columns
    0x0019_100A: b"US",  # Siemens: images in mosaic
    0x0019_100E: b"FD",  # Siemens: gradient direction
    0x0021_104F: b"SS",  # GE: locations in acquisition
    0x0025_1007: b"SL",  # GE: images in series
    0x0043_102F: b"SS",  # GE: magnitude, phase, real, imaginary
    0x0043_1030: b"SS",  # GE: vascular collapse flag
    0x2001_1003: b"FL",  # Philips: b-value
    0x2001_1014: b"SL",  # Philips: echoes
    0x2001_1017: b"SL",  # Philips: phases
    0x2001_1018: b"SL",  # Philips: slices
    0x2005_10B0: b"FL",  # Philips: direction right-left
    0x2005_10B1: b"FL",  # Philips: direction anterior-posterior
    0x2005_10B2: b"FL",  # Philips: direction feet-head
    0x2005_1414: b"SL",  # Philips: b-values
    0x2005_1415: b"SL",  # Philips: gradient orientations
    0x0065_1009: b"FD",  # UIH: b-value
    0x0065_1037: b"FD",  # UIH: gradient direction
}
