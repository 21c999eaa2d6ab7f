-- A mixed load for wrk: merchants by Zipf's law (exponent 1), and one request in a hundred for one that nobody asked for before.
-- Arguments: the path with %d for the merchant, the first id, how many take part, the first id of those not asked for yet.

local template, first, unknown
local cumulated, total = {}, 0

function init(arguments)
  template, first, unknown = arguments[1], tonumber(arguments[2]), tonumber(arguments[4])
  for rank = 1, tonumber(arguments[3]) do
    total = total + 1 / rank
    cumulated[rank] = total
  end
  math.randomseed(unknown)
end

local function ranked()
  local wanted, low, high = math.random() * total, 1, #cumulated
  while low < high do
    local middle = math.floor((low + high) / 2)
    if cumulated[middle] < wanted then low = middle + 1 else high = middle end
  end
  return first + low - 1
end

function request()
  local merchant
  if math.random() < 0.01 then
    merchant, unknown = unknown, unknown + 1
  else
    merchant = ranked()
  end
  return wrk.format(nil, string.format(template, merchant))
end
