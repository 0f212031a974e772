"""The payload's end of the space link: uplink, downlink, keys and the filter of events."""
