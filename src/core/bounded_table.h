// A hash table that forgets: at most `capacity` entries, the one unused for longest goes first.
//
// For what strangers can make us remember, also when they choose keys that hash alike: no more than a
// few of those are kept.
//
// Nothing depends on an entry being there: each user of this table has an answer for "forgotten".
//
// What forgotten entries leave is used again: once a table is full the heap is not asked for more. A
// key may be stored as another type than that which one asks with, made of it and converted to it:
//
//     BoundedTable<TextKey<Tuple>, Flow, TextKey<Tuple>::Hash, TextKey<Tuple>::Stored> table(100);
//     table.put({tuple, text}) = flow;
#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <memory_resource>
#include <unordered_map>
#include <utility>

namespace sipnat {

template <class Key, class Value, class Hash = std::hash<Key>, class StoredKey = Key>
class BoundedTable {
  public:
    explicit BoundedTable(std::size_t capacity) : capacity_(capacity) {}

    /// Nothing when it is not there. The pointer ends with the next put().
    Value* find(const Key& key) {
        const auto found = index_.find(key);
        if (found == index_.end()) return nullptr;
        entries_.splice(entries_.begin(), entries_, found->second);
        return &found->second->value;
    }

    /// The value of this key, to be assigned to: where there was none it is a new one, or what is left
    /// of a forgotten one.
    Value& put(const Key& key) {
        return put(key, [](const Value&) { return false; });
    }
    /// Forgets an entry before the table is full if `is_over(its value)`: a table that is no larger
    /// than it needs to be stays in the processor's cache.
    template <class IsOver>
    Value& put(const Key& key, IsOver&& is_over) {
        if (Value* present = find(key)) return *present;
        const bool has_room = entries_.size() < capacity_;
        if (has_room && (entries_.empty() || !is_over(std::as_const(entries_.back().value)))) {
            entries_.emplace_front(key);
            index_.emplace(&entries_.front().key, entries_.begin());
            thin_out(index_.bucket(&entries_.front().key));
        } else {
            auto index = index_.extract(&entries_.back().key);
            entries_.splice(entries_.begin(), entries_, std::prev(entries_.end()));
            entries_.front().key = key;
            index_.insert(std::move(index));
            thin_out(index_.bucket(&entries_.front().key));
        }
        return entries_.front().value;
    }

    [[nodiscard]] std::size_t size() const { return entries_.size(); }

  private:
    struct Entry {
        using allocator_type = std::pmr::polymorphic_allocator<>;

        Entry(const Key& made_of, const allocator_type& memory)
            : key(std::make_obj_using_allocator<StoredKey>(memory, made_of)),
              value(std::make_obj_using_allocator<Value>(memory)) {}

        StoredKey key;
        Value value;
    };
    /// Not noexcept: what might throw libstdc++ asks once for each node, and keeps the answer.
    struct HashOf {
        using is_transparent = void;
        std::size_t operator()(const Key& key) const { return Hash{}(key); }
        std::size_t operator()(const StoredKey* key) const { return Hash{}(*key); }
    };
    struct Same {
        using is_transparent = void;
        bool operator()(const StoredKey* a, const StoredKey* b) const { return a == b; }
        bool operator()(const Key& a, const StoredKey* b) const { return a == *b; }
        bool operator()(const StoredKey* a, const Key& b) const { return b == *a; }
    };
    using Entries = std::pmr::list<Entry>;

    /// Who makes up keys that hash alike makes each of them slow to find. By chance not even half as
    /// many come together.
    static constexpr std::size_t kMostAlike = 16;

    void thin_out(std::size_t bucket) {
        if (index_.bucket_size(bucket) <= kMostAlike) return;
        for (auto at = index_.begin(bucket); at != index_.end(bucket); ++at) {
            const auto entry = at->second;
            if (entry == entries_.begin()) continue;
            index_.erase(at->first);
            entries_.erase(entry);
            return;
        }
    }

    std::size_t capacity_;
    std::pmr::unsynchronized_pool_resource memory_;
    Entries entries_{&memory_};  // most recently used first
    std::pmr::unordered_map<const StoredKey*, typename Entries::iterator, HashOf, Same> index_{
        &memory_};  // by the keys of the entries
};

}  // namespace sipnat
