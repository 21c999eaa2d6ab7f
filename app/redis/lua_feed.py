"""Lua scripts of the feed of all changes.

The feed is a stream, `meta` a hash beside it: `epoch`, `key` of the cursors, `began`, `bytes`, `kept` (arrival of the newest
change that was dropped), `popped` (its id, at first that of the mark at the beginning), `cut` (when a change was last dropped
before its time, for its bytes), `first` (no later than when the oldest change in the feed was appended) and `behind` (there if
this epoch began because an older state of the store had come back).
"""

from typing import Final

_OPEN_FEED: Final = """
local function open_feed(feed, meta, replica)
  local epoch = redis.call('HGET', meta, 'epoch')
  if epoch and redis.call('EXISTS', feed) == 1 then
    return epoch
  end
  local time = redis.call('TIME')
  epoch = time[1] .. string.format('%06d', tonumber(time[2])) .. '-' .. string.sub(replica, 1, 8)
  redis.call('DEL', feed, meta)
  local marker = redis.call('XADD', feed, '*', 'begin', epoch)
  local began = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', meta, 'epoch', epoch, 'began', began, 'bytes', 0, 'popped', marker)
  return epoch
end
"""

FEED: Final = (
    _OPEN_FEED
    + """
-- Appends a change to a feed whose `first` was read before: without one, the feed may not be open yet. The time is that of
-- the id that Redis gives. Drops old changes if the feed is too large, or its first one late by a 64th of the time: to look at
-- each change was the dearest part. Drops up to eight of the oldest, but never the newest one: those that are due by a 128th
-- of their time, since the clocks of readers differ from ours, and more while the feed is too large, down to a 64th below its
-- bound. Returns account, epoch and sequence of each, or nothing.
local function append(feed, meta, first, replica, account, epoch, sequence, arrival, size, keep_ms, max_bytes)
  if not first then
    open_feed(feed, meta, replica)
  end
  local id = redis.call('XADD', feed, 'NOMKSTREAM', '*', 'a', account, 'e', epoch, 's', sequence, 't', arrival, 'b', size)
  if not id then
    return append(feed, meta, nil, replica, account, epoch, sequence, arrival, size, keep_ms, max_bytes)
  end
  local held, now = redis.call('HINCRBY', meta, 'bytes', size), string.match(id, '^%d+')
  local is_too_large = held - max_bytes > 0
  if first and not is_too_large and now - first < keep_ms * 65 / 64 then
    return nil
  end
  local keep_from, wanted = now - keep_ms, is_too_large and max_bytes * 63 / 64 or tonumber(max_bytes)
  local ids, dropped, kept, cut = {}, {}, nil, nil
  local oldest = redis.call('XRANGE', feed, '-', '+', 'COUNT', 9)
  for number, one in ipairs(oldest) do
    local id, fields = one[1], one[2]
    first = string.match(id, '^%d+')
    if number == #oldest or not (tonumber(first) <= keep_from - keep_ms / 128 or held > wanted) then
      break
    end
    ids[number] = id
    if fields[1] == 'a' then
      held, kept = held - fields[10], fields[8]
      dropped[#dropped + 1] = {fields[2], fields[4], fields[6]}
    end
    if tonumber(first) > keep_from then
      cut = now
    end
  end
  redis.call('HSET', meta, 'first', first, 'bytes', string.format('%.0f', held))
  if ids[1] then
    redis.call('XDEL', feed, unpack(ids))
    redis.call('HSET', meta, 'popped', ids[#ids])
  end
  if kept then
    redis.call('HSET', meta, 'kept', kept)
  end
  if cut then
    redis.call('HSET', meta, 'cut', cut)
  end
  return dropped
end
"""
)

APPEND: Final = f"""
-- KEYS: feed, meta. ARGV: replica id, how long changes are kept, their bytes, account, epoch, sequence, arrival, bytes. Appends
-- a change afterwards, where feed and history lie at different nodes. Returns account, epoch and sequence of what was dropped.
{FEED}
local first = redis.call('HGET', KEYS[2], 'first')
return append(KEYS[1], KEYS[2], first, ARGV[1], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[2], ARGV[3]) or {{}}
"""

READ_FEED: Final = f"""
-- KEYS: feed, meta. ARGV: replica id, a new key for cursors, an id (empty: the oldest), at most how many changes, and the
-- newest id that the reader knows of which epoch. A feed that lacks that one came back from an older state (a restored file, a
-- replica that lagged): another epoch begins, as where there is none. Nothing is written otherwise, so a full store answers.
-- Returns the meta data by name, the id of the newest change, and the changes after the id.
{_OPEN_FEED}
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
