"""State machines: what hypothesis can think of happens to a simulated account, and the promises hold."""
