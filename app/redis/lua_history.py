"""Lua scripts of the history: what each look at an account says.

The history of an account is one hash, so that it is evicted or lost whole. Fields: `epoch` and `sequence` of the newest
state, `digest` of its content, `seen` (when the last look arrived), `until` (when that was asked for), `looks` at this
state and their longest `gap`, `oldest` sequence kept, `fed` (the last sequence in the feed), `behind` (that of the feed in which this
epoch began), and `r<sequence>` for each state: `<arrival> <until, looks and gap of the state before>`, a line break, and the content.
"""

from typing import Final

from app.redis.lua import AS_NEWER
from app.redis.lua_feed import FEED

_DROP: Final = """
-- Drops the states before one that was dropped from the feed: the state itself still says what was so after it.
local function drop(history, epoch, sequence)
  local state = redis.call('HMGET', history, 'epoch', 'oldest', 'sequence')
  if state[1] ~= epoch then
    return 0
  end
  local oldest = math.min(tonumber(sequence), tonumber(state[3]))
  for number = tonumber(state[2]), oldest - 1 do
    redis.call('HDEL', history, 'r' .. string.format('%.0f', number))
  end
  if oldest > tonumber(state[2]) then
    redis.call('HSET', history, 'oldest', string.format('%.0f', oldest))
  end
  return 1
end
"""

RECORD: Final = """
-- The keys are `history` and, where one server holds all keys, `feed` and `meta`. `entry` lacks its closing brace. `latest` is
-- the latest plausible arrival. `content` is `=` for that of the entry, and `-` if there is no such merchant. Changes are kept
-- for `keep_ms`. The replica knows `known_epoch` and `known`, epoch and sequence: a history that is behind those has lost a
-- part at a failover, and another epoch begins. Returns epoch, sequence, the last one fed, and the bytes of a change or 0.
-- The time to live is longer than `keep_ms` by a 64th, or an hour, so that it needs no renewal within such a period.
local function record(history, feed, meta, replica, entry, as_of, latest, asked, digest, content, account, keep_ms, max_bytes,
    known_epoch, known)
  local arrival = tonumber(as_of)
  local head = redis.call('HMGET', history, 'epoch', 'sequence', 'digest', 'seen', 'until', 'looks', 'gap', 'fed')
  local epoch, sequence, is_same, seen = head[1], head[2], head[3] == digest, tonumber(head[4] or '')
  local first, behind
  if meta then
    first, behind = unpack(redis.call('HMGET', meta, 'first', 'behind'))
  end
  if epoch and (seen - latest > 0 or (epoch == known_epoch and known - sequence > 0)
      or (behind and redis.call('HGET', history, 'behind') ~= behind)) then
    epoch = false
  end
  if epoch and arrival <= seen then
    return is_same and {epoch, tonumber(sequence), tonumber(head[8]), 0} or nil
  end
  local period = math.min(keep_ms / 64, 3600000)
  local is_due = not epoch or math.floor(arrival / period) ~= math.floor(seen / period)
  local fed, size = head[8], 0
  if epoch and is_same then
    local gap = math.max(head[7], arrival - seen)
    redis.call('HSET', history, 'seen', as_of, 'until', asked, 'looks', head[6] + 1, 'gap', gap)
  else
    local until_before, looks, gap, tail = '0', '0', '0', ''
    if epoch then
      sequence, until_before, looks, gap = sequence + 1, head[5], head[6], head[7]
    elseif content == '-' then
      return nil
    else
      epoch, sequence, fed = as_of .. '-' .. string.sub(replica, 1, 8), 0, -1
      redis.call('DEL', history)
      redis.call('HSET', history, 'epoch', epoch, 'oldest', 0)
      if behind then
        redis.call('HSET', history, 'behind', behind)
      end
    end
    if content == '=' then
      content, tail = entry, '}'
    end
    local state = as_of .. ' ' .. until_before .. ' ' .. looks .. ' ' .. gap .. '\\n' .. content .. tail
    size = #state + 200
    if feed then
      local dropped = append(feed, meta, first, replica, account, epoch, sequence, as_of, size, keep_ms, max_bytes)
      for number = 1, dropped and #dropped or 0 do
        local one = dropped[number]
        drop(string.match(history, '^.*:{') .. one[1] .. '}:history', one[2], one[3])
      end
      fed = sequence
    end
    redis.call('HSET', history, 'sequence', sequence, 'digest', digest, 'seen', as_of, 'until', asked, 'looks', 1, 'gap', 0,
      'fed', fed, string.format('r%d', sequence), state)
  end
  if is_due then
    redis.call('PEXPIRE', history, math.ceil(keep_ms + period))
  end
  return {epoch, tonumber(sequence), tonumber(fed), size}
end
"""

RECORD_ALONE: Final = f"""
-- KEYS: those of `record`. ARGV: its parameters from `replica` on. Returns what it returns, or nothing where a look cannot be
-- ordered.
{FEED}
{_DROP}
{RECORD}
return record(KEYS[1], KEYS[2], KEYS[3], unpack(ARGV, 1, 12)) or {{}}
"""

STORE_AND_RECORD: Final = f"""
-- KEYS: entry, lease, then those of `record`. ARGV: those of STORE_AND_RELEASE, the entry without its closing brace, then the
-- parameters of `record` from `asked` on. Does what the former does, with epoch and sequence in the entry. An entry whose look
-- cannot be recorded is stored without them. Returns 0 if a newer entry is there, else what `record` returns.
{FEED}
{_DROP}
{RECORD}
{AS_NEWER}
if not is_newer then
  return 0
end
local recorded, found = pcall(record, KEYS[3], KEYS[4], KEYS[5], ARGV[1], ARGV[2], ARGV[3], ARGV[6], unpack(ARGV, 7, 14))
local number = recorded and found and string.format(',"sequence":%d,"epoch":"%s"}}', found[2], found[1])
local entry = ARGV[2] .. (number or '}}')
redis.call('SET', KEYS[1], entry, 'PX', ARGV[4])
publish(ARGV[5], '{{"sender":"' .. ARGV[1] .. '","entry":' .. entry .. '}}')
return recorded and found or {{}}
"""

DROP: Final = f"""
-- KEYS: history. ARGV: epoch, sequence. Drops states where feed and history lie at different nodes.
{_DROP}
return drop(KEYS[1], ARGV[1], ARGV[2])
"""

MARK_FED: Final = """
-- KEYS: history. ARGV: epoch, sequence. Notes which changes the feed has.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'fed')
if head[1] == ARGV[1] and tonumber(head[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'fed', ARGV[2])
end
return 1
"""

READ_STATES: Final = """
-- KEYS: history. ARGV: how to find the first state (`at`: the last one that began by a moment, `from`: one by number), that
-- moment or number, at most how many. Returns the head, the number of the first state, and the states: from the oldest one if
-- the one wanted is not kept.
local head = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'oldest', 'seen', 'until', 'looks', 'gap')
if not head[1] then
  return {}
end
local newest, oldest = tonumber(head[2]), tonumber(head[3])
local function read(number)
  return redis.call('HGET', KEYS[1], 'r' .. string.format('%.0f', number))
end
local first = tonumber(ARGV[2])
if ARGV[1] == 'at' then
  local low, high = oldest - 1, newest
  while low < high do
    local middle = low + math.ceil((high - low) / 2)
    if tonumber(string.match(read(middle), '^%d+')) <= first then
      low = middle
    else
      high = middle - 1
    end
  end
  first = low
end
first = math.max(first, oldest)
local states = {}
for number = first, math.min(newest, first + tonumber(ARGV[3]) - 1) do
  states[#states + 1] = read(number)
end
return {head, first, states}
"""
