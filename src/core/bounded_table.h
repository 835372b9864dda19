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
//
// A look-up reads little memory that is far apart, which is what it takes in a table that does not fit
// into the processor's cache: what entries are found by, and in which order they were used, is in one
// small block beside them.
//
//     buckets   7 ·  2 0 …          the first entry of each, in `places`
//     places    [hash next newer older] [hash next newer older] …
//     entries   [key value            ] [key value            ] …
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <utility>
#include <vector>

namespace sipnat {

template <class Key, class Value, class Hash = std::hash<Key>, class StoredKey = Key>
class BoundedTable {
  public:
    explicit BoundedTable(std::size_t capacity) : capacity_(capacity) {}

    /// Nothing when it is not there. The pointer ends with the next put().
    Value* find(const Key& key) {
        if (buckets_.empty()) return nullptr;
        const auto at = look_up(key, hash_of(key)).found;
        if (at == kNone) return nullptr;
        move_to_front(at);
        return &entry(at).value;
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
        if (places_.size() == buckets_.size()) grow();
        const auto hash = hash_of(key);
        const auto chain = look_up(key, hash);
        if (chain.found != kNone) {
            move_to_front(chain.found);
            return entry(chain.found).value;
        }
        Index at = kNone;
        if (chain.length >= kMostAlike) {
            at = chain.last;
        } else if (places_.size() == capacity_ ||
                   (oldest_ != kNone && is_over(std::as_const(entry(oldest_).value)))) {
            at = oldest_;
        }
        if (at == kNone) {
            at = static_cast<Index>(places_.size());
            places_.emplace_back();
            if (at % kChunk == 0) chunks_.emplace_back().reserve(kChunk);
            chunks_.back().emplace_back(key, &memory_);
        } else {
            leave_bucket(at);
            leave_order(at);
            entry(at).key = key;
        }
        places_[at].hash = hash;
        enter_bucket(at);
        enter_order(at);
        return entry(at).value;
    }

    [[nodiscard]] std::size_t size() const { return places_.size(); }

  private:
    using Index = std::uint32_t;
    static constexpr Index kNone = UINT32_MAX;

    struct Entry {
        using allocator_type = std::pmr::polymorphic_allocator<>;

        Entry(const Key& made_of, const allocator_type& memory)
            : key(std::make_obj_using_allocator<StoredKey>(memory, made_of)),
              value(std::make_obj_using_allocator<Value>(memory)) {}

        StoredKey key;
        Value value;
    };
    struct Place {
        std::uint32_t hash = 0;
        Index next = kNone;  ///< of its bucket
        Index newer = kNone;
        Index older = kNone;
    };
    struct Chain {
        Index found = kNone;
        Index last = kNone;
        std::size_t length = 0;
    };

    /// Who makes up keys that hash alike makes each of them slow to find. By chance not even half as
    /// many come together.
    static constexpr std::size_t kMostAlike = 16;
    static constexpr std::size_t kFewestBuckets = 8;
    static constexpr std::size_t kChunk = 64;

    static std::uint32_t hash_of(const Key& key) {
        // The upper half of a product: of a hash that is the key itself the lower bits may be alike.
        return static_cast<std::uint32_t>((Hash{}(key)*0x9e3779b97f4a7c15ULL) >> 32U);
    }
    [[nodiscard]] Entry& entry(Index at) { return chunks_[at / kChunk][at % kChunk]; }
    [[nodiscard]] Index& bucket(std::uint32_t hash) { return buckets_[hash % buckets_.size()]; }

    [[nodiscard]] Chain look_up(const Key& key, std::uint32_t hash) {
        Chain chain;
        for (auto at = bucket(hash); at != kNone; at = places_[at].next) {
            if (places_[at].hash == hash && key == static_cast<const Key&>(entry(at).key)) {
                chain.found = at;
                break;
            }
            chain.last = at;
            ++chain.length;
        }
        return chain;
    }

    void enter_bucket(Index at) {
        auto& first = bucket(places_[at].hash);
        places_[at].next = first;
        first = at;
    }
    void leave_bucket(Index at) {
        auto* link = &bucket(places_[at].hash);
        while (*link != at)
            link = &places_[*link].next;
        *link = places_[at].next;
    }
    void grow() {
        buckets_.assign(std::max(2 * buckets_.size(), kFewestBuckets), kNone);
        for (Index at = 0; at < places_.size(); ++at)
            enter_bucket(at);
    }

    void enter_order(Index at) {
        places_[at].newer = kNone;
        places_[at].older = newest_;
        (newest_ == kNone ? oldest_ : places_[newest_].newer) = at;
        newest_ = at;
    }
    void leave_order(Index at) {
        const auto [hash, next, newer, older] = places_[at];
        (newer == kNone ? newest_ : places_[newer].older) = older;
        (older == kNone ? oldest_ : places_[older].newer) = newer;
    }
    void move_to_front(Index at) {
        if (at == newest_) return;
        leave_order(at);
        enter_order(at);
    }

    std::size_t capacity_;
    std::pmr::unsynchronized_pool_resource memory_;
    std::vector<Index> buckets_;  // a power of two, not fewer than entries
    std::vector<Place> places_;
    std::vector<std::vector<Entry>> chunks_;
    Index newest_ = kNone;
    Index oldest_ = kNone;
};

}  // namespace sipnat
