-- Which agent a node's name belongs to.

ALTER TABLE nodes ADD COLUMN origin TEXT NOT NULL DEFAULT ''; -- of the agent that registered last; '': it did not say
ALTER TABLE nodes ADD COLUMN heard_from TEXT NOT NULL DEFAULT ''; -- the network address that it registered from
