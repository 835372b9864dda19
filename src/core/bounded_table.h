// A hash table that forgets: at most `capacity` entries, the one unused for longest goes first.
//
// For what strangers can make us remember. Nothing depends on an entry being there: each user of
// this table has an answer for "forgotten".
#pragma once

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

namespace sipnat {

template <class Key, class Value, class Hash = std::hash<Key>>
class BoundedTable {
  public:
    explicit BoundedTable(std::size_t capacity) : capacity_(capacity) {}

    /// Nothing when it is not there. The pointer ends with the next put().
    Value* find(const Key& key) {
        const auto found = index_.find(&key);
        if (found == index_.end()) return nullptr;
        entries_.splice(entries_.begin(), entries_, found->second);
        return &found->second->second;
    }

    Value& put(Key key, Value value) {
        if (Value* present = find(key)) return *present = std::move(value);
        if (entries_.size() >= capacity_) {
            index_.erase(&entries_.back().first);
            entries_.pop_back();
        }
        entries_.emplace_front(std::move(key), std::move(value));
        index_.emplace(&entries_.front().first, entries_.begin());
        return entries_.front().second;
    }

    [[nodiscard]] std::size_t size() const { return entries_.size(); }

  private:
    /// Not noexcept: what might throw libstdc++ asks once for each node, and keeps the answer.
    struct HashOfPointed {
        std::size_t operator()(const Key* key) const { return Hash{}(*key); }
    };
    struct SamePointed {
        bool operator()(const Key* one, const Key* other) const { return *one == *other; }
    };
    using Entries = std::list<std::pair<Key, Value>>;

    std::size_t capacity_;
    Entries entries_;  // most recently used first
    std::unordered_map<const Key*, typename Entries::iterator, HashOfPointed, SamePointed>
        index_;  // by the keys of the entries
};

}  // namespace sipnat
