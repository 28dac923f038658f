"""The rules of ``tests/simulator/AWS.md`` as functions, for the simulated control plane, moto and AWS itself."""
