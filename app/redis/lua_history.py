"""Lua scripts of the history: what each look at an account says, and the feed of all changes.

The history of an account is one hash, so that it is evicted or lost whole. Fields: `epoch` and `sequence` of the newest
state, `digest` of its content, `seen` (when the last look arrived), `until` (when that was asked for), `looks` at this
state and their longest `gap`, `oldest` sequence kept, `fed` (the last sequence in the feed), `behind` (that of the feed in which this
epoch began), and `r<sequence>` for each state: `<arrival> <until, looks and gap of the state before>`, a line break, and the content.

The feed is a stream, `meta` a hash beside it: `epoch`, `key` of the cursors, `began`, `bytes`, `kept` (arrival of the newest
change that was dropped), `popped` (its id, at first that of the mark at the beginning), `cut` (when a change was last dropped
before its time, for its bytes) and `behind` (there if this epoch began because an older state of the store had come back).
"""

from typing import Final

from app.redis.lua import AS_NEWER

FEED: Final = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function open_feed(feed, meta, replica)
  local epoch = redis.call('HGET', meta, 'epoch')
  if epoch and redis.call('EXISTS', feed) == 1 then
    return epoch
  end
  local time = redis.call('TIME')
  epoch = time[1] .. string.format('%06d', tonumber(time[2])) .. '-' .. string.sub(replica, 1, 8)
  redis.call('DEL', feed, meta)
  local marker = redis.call('XADD', feed, '*', 'begin', epoch)
  redis.call('HSET', meta, 'epoch', epoch, 'began', string.format('%.0f', now_ms()), 'bytes', 0, 'popped', marker)
  return epoch
end
-- Appends a change to an open feed, and drops the oldest ones beyond the bounds. Returns account, epoch and sequence of each.
local function append(feed, meta, change, keep_ms, max_bytes)
  redis.call('XADD', feed, '*', 'a', change[1], 'e', change[2], 's', change[3], 't', change[4], 'b', change[5])
  local held = redis.call('HINCRBY', meta, 'bytes', change[5])
  local now, dropped = now_ms(), {}
  for _ = 1, 8 do
    local oldest = redis.call('XRANGE', feed, '-', '+', 'COUNT', 2)
    if #oldest < 2 then
      break
    end
    local id, fields = oldest[1][1], oldest[1][2]
    local is_due = tonumber(string.match(id, '^%d+')) <= now - keep_ms
    if not is_due and held <= max_bytes then
      break
    end
    redis.call('XDEL', feed, id)
    redis.call('HSET', meta, 'popped', id)
    if fields[1] == 'a' then
      held = redis.call('HINCRBY', meta, 'bytes', -tonumber(fields[10]))
      redis.call('HSET', meta, 'kept', fields[8])
      dropped[#dropped + 1] = {fields[2], fields[4], fields[6]}
    end
    if not is_due then
      redis.call('HSET', meta, 'cut', string.format('%.0f', now))
    end
  end
  return dropped
end
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
-- KEYS: history, and, where one server holds all keys, feed and meta. ARGV: arrival, when it was asked for, digest, content
-- (`=`: that of the entry, `-`: there is no such merchant), entry, replica id, account, latest plausible arrival, how long
-- changes are kept, their bytes, key prefix, epoch and sequence that the replica knows: a history that is behind those has
-- lost a part at a failover, and another epoch begins. Returns epoch, sequence, the last one fed, and the bytes of a change or 0.
local function record(KEYS, ARGV)
  local arrival = tonumber(ARGV[1])
  local head = redis.call('HMGET', KEYS[1], 'epoch', 'sequence', 'digest', 'seen', 'until', 'looks', 'gap', 'fed', 'behind')
  local epoch, is_same = head[1], head[3] == ARGV[3]
  if epoch and (tonumber(head[4]) > tonumber(ARGV[8]) or (epoch == ARGV[12] and tonumber(head[2]) < tonumber(ARGV[13]))) then
    epoch = false
  end
  local behind = KEYS[3] and redis.call('HGET', KEYS[3], 'behind')
  if behind and head[9] ~= behind then
    epoch = false
  end
  if epoch and arrival <= tonumber(head[4]) then
    return is_same and {epoch, tonumber(head[2]), tonumber(head[8]), 0} or nil
  end
  if epoch and is_same then
    local gap = math.max(tonumber(head[7]), arrival - tonumber(head[4]))
    redis.call('HSET', KEYS[1], 'seen', ARGV[1], 'until', ARGV[2], 'looks', head[6] + 1, 'gap', string.format('%.0f', gap))
    redis.call('PEXPIRE', KEYS[1], ARGV[9])
    return {epoch, tonumber(head[2]), tonumber(head[8]), 0}
  end
  local sequence, before, fed = 0, '0 0 0', -1
  if epoch then
    sequence, fed = head[2] + 1, tonumber(head[8])
    before = head[5] .. ' ' .. head[6] .. ' ' .. head[7]
  elseif ARGV[4] == '-' then
    return nil
  else
    epoch = ARGV[1] .. '-' .. string.sub(ARGV[6], 1, 8)
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'oldest', 0)
    if behind then
      redis.call('HSET', KEYS[1], 'behind', behind)
    end
  end
  local name, content = string.format('%.0f', sequence), ARGV[4] == '=' and ARGV[5] or ARGV[4]
  local state = ARGV[1] .. ' ' .. before .. '\\n' .. content
  local size = #state + 200
  if KEYS[2] then
    open_feed(KEYS[2], KEYS[3], ARGV[6])
    local dropped = append(KEYS[2], KEYS[3], {ARGV[7], epoch, name, ARGV[1], size}, tonumber(ARGV[9]), tonumber(ARGV[10]))
    for _, one in ipairs(dropped) do
      drop(ARGV[11] .. ':{' .. one[1] .. '}:history', one[2], one[3])
    end
    fed = sequence
  end
  redis.call('HSET', KEYS[1], 'sequence', name, 'digest', ARGV[3], 'seen', ARGV[1], 'until', ARGV[2], 'looks', 1,
    'gap', 0, 'fed', string.format('%.0f', fed), 'r' .. name, state)
  redis.call('PEXPIRE', KEYS[1], ARGV[9])
  return {epoch, sequence, fed, size}
end
"""

RECORD_ALONE: Final = f"""
-- KEYS and ARGV: those of RECORD. Returns what that returns, or nothing where a look cannot be ordered.
{FEED}
{RECORD}
return record(KEYS, ARGV) or {{}}
"""

STORE_AND_RECORD: Final = f"""
-- KEYS: entry, lease, then those of RECORD. ARGV: those of STORE_AND_RELEASE, then those of RECORD. Does what the former
-- does, with epoch and sequence in the entry. An entry whose look cannot be recorded is stored without them. Returns 0 if a
-- newer entry is there, else what RECORD returns.
{FEED}
{RECORD}
{AS_NEWER}
if newer == 0 then
  return 0
end
local recorded, found = pcall(record, {{unpack(KEYS, 3)}}, {{unpack(ARGV, 7)}})
local entry = ARGV[2]
if recorded and found then
  entry = string.sub(entry, 1, -2) .. ',"sequence":' .. string.format('%.0f', found[2]) .. ',"epoch":"' .. found[1] .. '"}}'
end
redis.call('SET', KEYS[1], entry, 'PX', ARGV[4])
publish(ARGV[5], '{{"sender":"' .. ARGV[1] .. '","entry":' .. entry .. '}}')
return recorded and found or {{}}
"""

APPEND: Final = f"""
-- KEYS: feed, meta. ARGV: replica id, how long changes are kept, their bytes, account, epoch, sequence, arrival, bytes. Appends
-- a change afterwards, where feed and history lie at different nodes. Returns what `append` returns.
{FEED}
open_feed(KEYS[1], KEYS[2], ARGV[1])
return append(KEYS[1], KEYS[2], {{ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]}}, tonumber(ARGV[2]), tonumber(ARGV[3]))
"""

DROP: Final = f"""
-- KEYS: history. ARGV: epoch, sequence. Drops states where feed and history lie at different nodes.
{FEED}
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

READ_FEED: Final = f"""
-- KEYS: feed, meta. ARGV: replica id, a new key for cursors, an id (empty: the oldest), at most how many changes, and the
-- newest id that the reader knows of which epoch. A feed that lacks that one came back from an older state (a restored file, a
-- replica that lagged): another epoch begins, as where there is none. Nothing is written otherwise, so a full store answers.
-- Returns the meta data by name, the id of the newest change, and the changes after the id.
{FEED}
local function parse(id)
  local milliseconds, number = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(milliseconds), tonumber(number)
end
local function lacks(id)
  local head = redis.call('HMGET', KEYS[2], 'key', 'popped')
  local milliseconds, number = parse(id)
  local popped_milliseconds, popped_number = parse(head[2])
  local is_dropped = milliseconds < popped_milliseconds
    or (milliseconds == popped_milliseconds and number <= popped_number)
  return not head[1] or not (is_dropped or redis.call('XRANGE', KEYS[1], id, id)[1])
end
if open_feed(KEYS[1], KEYS[2], ARGV[1]) == ARGV[5] and lacks(ARGV[6]) then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'behind', open_feed(KEYS[1], KEYS[2], ARGV[1]))
end
if not redis.call('HGET', KEYS[2], 'key') then
  redis.call('HSETNX', KEYS[2], 'key', ARGV[2])
end
local after = ARGV[3]
if after == '' then
  after = redis.call('HGET', KEYS[2], 'popped')
end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
local found = {{}}
if tonumber(ARGV[4]) > 0 then
  found = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', ARGV[4])
end
return {{redis.call('HMGET', KEYS[2], 'epoch', 'key', 'began', 'bytes', 'kept', 'popped', 'cut'), newest, found}}
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
