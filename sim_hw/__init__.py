"""The world around the payload: emulated boards, and what happens to them."""
