-- L2 networks belong to the operators' account, so that they can be shared with those who shall build on them.
UPDATE resource SET account_uuid = '36c27e8ff05c4780bf6d2fa65700f22e' WHERE resource_type = 'L2NetworkVO' AND account_uuid IS NULL;
