"""How long a connection is kept that nothing is sent on.

Longer than an agent's heartbeat interval (30 s), so that the next beat needs no new connection with its TLS handshake. Shorter
at the client, so that it rarely sends on a connection that the master is just closing.
"""

MASTER_KEEPS_SECONDS = 45
CLIENT_KEEPS_SECONDS = 40.0
