// Keys of a BoundedTable that are a text and something else: asked for by a view of the text, stored
// with one of their own.
#pragma once

#include <functional>
#include <memory_resource>
#include <string>
#include <string_view>

#include "sipnat/net/address.h"

namespace sipnat {

template <class Rest, class RestHash = std::hash<Rest>>
struct TextKey {
    Rest rest;
    std::string_view text;

    bool operator==(const TextKey&) const = default;

    struct Hash {
        std::size_t operator()(const TextKey& key) const noexcept {
            return hash_mix(RestHash{}(key.rest), std::hash<std::string_view>{}(key.text));
        }
    };
    struct Stored {
        using allocator_type = std::pmr::polymorphic_allocator<>;

        Stored(const TextKey& key, const allocator_type& memory)
            : rest(key.rest), text(key.text, memory) {}
        operator TextKey() const { return {rest, text}; }
        Stored& operator=(const TextKey& key) {
            rest = key.rest;
            text = key.text;
            return *this;
        }

        Rest rest;
        std::pmr::string text;
    };
};

}  // namespace sipnat
