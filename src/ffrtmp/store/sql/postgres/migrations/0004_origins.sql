-- Which agent a node's name belongs to.

ALTER TABLE nodes ADD COLUMN origin text NOT NULL DEFAULT ''; -- of the agent that registered last; '': it did not say
ALTER TABLE nodes ADD COLUMN heard_from text NOT NULL DEFAULT ''; -- the network address that it registered from
