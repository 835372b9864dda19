#include "netfilter/endpoint_set.h"

#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>

#include "netfilter/nft_set.h"
#include "netfilter/socket.h"

namespace sipnat::netfilter {
namespace {

// Elements of one transaction, each listed up to three times at some 36 bytes: well within the
// 64 kB of their nest and the 208 kB that a default socket may send at once.
constexpr std::size_t kTransaction = 1000;

constexpr std::size_t kElement = 48;  // bytes at the most: the key, a timeout, and their attributes

bool put_element(nftnl_set* set, const Endpoint& endpoint,
                 std::optional<std::chrono::milliseconds> lifetime) {
    Buffer key;
    append_endpoint(key, endpoint);
    nftnl_set_elem* element = add_element(set, key);
    if (element != nullptr && lifetime) {
        set_lifetime(element, *lifetime);
    }
    return element != nullptr;
}

/// One message with all of the set's elements.
void append_elements(Buffer& out, const nftnl_set* set, std::size_t count, std::uint16_t type,
                     std::uint16_t flags, std::uint32_t sequence) {
    append_message(out, room_for_elements(count, kElement),
                   [&](char* place) { return write_elements(place, set, type, flags, sequence); });
}

}  // namespace

Result<Buffer> encode_set_update(const SetName& name, std::uint32_t sequence,
                                 std::span<const Endpoint> remove, std::span<const SetElement> add,
                                 Removal removal) {
    const std::string object = "inet " + name.table + " " + name.set;
    const auto is_v6 = [](const Endpoint& endpoint) {
        return endpoint.address.family() != Family::ipv4;
    };
    if (std::ranges::any_of(remove, is_v6) ||
        std::ranges::any_of(add, is_v6, &SetElement::endpoint)) {
        return fail_errno("update nft set", object, EAFNOSUPPORT);
    }
    const Set removed = make_set(name.table, name.set);
    const Set added = make_set(name.table, name.set);
    bool built = removed && added;
    for (const Endpoint& endpoint : remove) {
        built = built && put_element(removed.get(), endpoint, std::nullopt);
    }
    for (const SetElement& element : add) {
        built = built && put_element(added.get(), element.endpoint, element.lifetime);
    }
    if (!built) {
        return fail_errno("update nft set", object, ENOMEM);
    }

    Buffer out;
    append_message(out, 64, [&](char* place) { return nftnl_batch_begin(place, sequence); });
    if (!remove.empty()) {
        if (removal == Removal::add_first) {
            append_elements(out, removed.get(), remove.size(), NFT_MSG_NEWSETELEM, NLM_F_CREATE,
                            sequence + 1);
        }
        append_elements(out, removed.get(), remove.size(), NFT_MSG_DELSETELEM,
                        add.empty() ? NLM_F_ACK : 0, sequence + 2);
    }
    if (!add.empty()) {
        append_elements(out, added.get(), add.size(), NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_ACK,
                        sequence + 3);
    }
    append_message(out, 64, [&](char* place) { return nftnl_batch_end(place, sequence + 4); });
    return out;
}

struct EndpointSet::Impl {
    Impl(Socket opened, SetName named) : socket(std::move(opened)), name(std::move(named)) {}

    Result<void> commit(std::span<const Endpoint> remove, std::span<const SetElement> add,
                        Removal removal) {
        std::uint32_t sequence = 0;
        for (int i = 0; i < 5; ++i) {  // as many as encode_set_update may use
            sequence = socket.next_sequence();
        }
        const auto batch = encode_set_update(name, sequence - 4, remove, add, removal);
        if (!batch) {
            return tl::unexpected(batch.error());
        }
        if (const auto failed = socket.commit(*batch)) {
            return fail_errno("update nft set", "inet " + name.table + " " + name.set,
                              failed.value());
        }
        return {};
    }

    Socket socket;
    SetName name;
};

EndpointSet::EndpointSet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EndpointSet::EndpointSet(EndpointSet&&) noexcept = default;
EndpointSet& EndpointSet::operator=(EndpointSet&&) noexcept = default;
EndpointSet::~EndpointSet() = default;

Result<EndpointSet> EndpointSet::open(std::string set, std::string table) {
    auto socket = Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return in_context("open nft set", std::move(socket.error()));
    }
    return EndpointSet(std::make_unique<Impl>(
        std::move(*socket), SetName{.table = std::move(table), .set = std::move(set)}));
}

Result<void> EndpointSet::update(std::span<const Endpoint> remove,
                                 std::span<const SetElement> add) {
    while (!remove.empty() || !add.empty()) {
        const auto removed_now = remove.first(std::min(remove.size(), kTransaction));
        remove = remove.subspan(removed_now.size());
        // Additions wait for the last removals: the order is the caller's.
        const auto added_now = remove.empty() ? add.first(std::min(add.size(), kTransaction))
                                              : std::span<const SetElement>{};
        add = add.subspan(added_now.size());

        // A transaction that fails waits for a grace period of the kernel's: what may not be there
        // is put there first, rather than tried.
        if (auto done = impl_->commit(removed_now, added_now, Removal::add_first); !done) {
            return done;
        }
    }
    return {};
}

}  // namespace sipnat::netfilter
