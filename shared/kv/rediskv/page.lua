-- KEYS: items or segments. Returns the fields of the first of them, without
-- seen ids, and ends early when they have become large.

local page, size = {}, 0
for i, key in ipairs(KEYS) do
  if size > PAGE_BYTES then break end
  local all, fields = redis.call('HGETALL', key), {}
  for f = 1, #all, 2 do
    if string.byte(all[f]) ~= 101 then
      fields[#fields + 1] = all[f]
      fields[#fields + 1] = all[f + 1]
      size = size + #all[f] + #all[f + 1]
    end
  end
  page[i] = fields
end
return page
