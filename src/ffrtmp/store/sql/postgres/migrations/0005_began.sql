-- Which of an agent's registrations is the later one.

ALTER TABLE nodes ADD COLUMN began_us bigint NOT NULL DEFAULT 0; -- when the incarnation began, by the clock of its origin
