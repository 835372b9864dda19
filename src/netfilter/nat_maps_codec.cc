#include "netfilter/nat_maps_codec.h"

#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "netfilter/nft_set.h"

namespace sipnat::netfilter {
namespace {

constexpr std::size_t kInterfaceSize = 16;  // IFNAMSIZ: nft's type ifname
constexpr std::size_t kElement = 96;  // bytes at the most: key, value, timeout, their attributes
constexpr std::size_t kEndpointSize = 8;  // address, port, two zeros

struct FreeRule {
    void operator()(nftnl_rule* rule) const noexcept { nftnl_rule_free(rule); }
};
using Rule = std::unique_ptr<nftnl_rule, FreeRule>;

bool is_map(NatSet set) {
    return set == NatSet::in || set == NatSet::in_from || set == NatSet::contacts ||
           set == NatSet::out || set == NatSet::hairpin || set == NatSet::in_tcp ||
           set == NatSet::contacts_tcp;
}

bool has_address(NatSet set) {
    return set == NatSet::in_from || set == NatSet::contacts || set == NatSet::hairpin ||
           set == NatSet::contacts_tcp;
}

Buffer key_of(const NatElement& element) {
    Buffer key;
    if (element.set == NatSet::out) {
        key.assign(element.interface.begin(), element.interface.end());
        key.resize(kInterfaceSize);
    }
    if (element.address) {
        const auto bytes = element.address->bytes();
        key.insert(key.end(), bytes.begin(), bytes.end());
    }
    append_endpoint(key, element.key);
    return key;
}

int fault_of(const NatElement& element) {
    const auto is_v6 = [](const IpAddress& address) { return address.family() != Family::ipv4; };
    if (is_v6(element.key.address) || (element.target && is_v6(element.target->address)) ||
        (element.address && is_v6(*element.address))) {
        return EAFNOSUPPORT;
    }
    const bool complete = element.target.has_value() == is_map(element.set) &&
                          element.address.has_value() == has_address(element.set) &&
                          element.interface.empty() == (element.set != NatSet::out) &&
                          element.interface.size() < kInterfaceSize;
    return complete ? 0 : EINVAL;
}

enum class With : std::uint8_t { key, key_and_target };

bool put_element(nftnl_set* set, const NatElement& element, With with) {
    nftnl_set_elem* put = add_element(set, key_of(element));
    if (put == nullptr) {
        return false;
    }
    if (with == With::key) {
        return true;
    }
    if (element.lifetime) {
        set_lifetime(put, *element.lifetime);
    }
    if (!element.target) {
        return true;
    }
    Buffer target;
    append_endpoint(target, *element.target);
    return nftnl_set_elem_set(put, NFTNL_SET_ELEM_DATA, target.data(),
                              static_cast<std::uint32_t>(target.size())) == 0;
}

/// One that names a set and nothing in it.
void append_list_message(Buffer& out, unsigned type, int flags, std::uint32_t sequence,
                         const char* table, NatSet set) {
    append_message(out, 128, [&](char* place) {
        nlmsghdr* message = begin_netfilter_message(place, message_type(NFNL_SUBSYS_NFTABLES, type),
                                                    flags, sequence, NFPROTO_INET);
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, table);
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, name_of(set));
        return message;
    });
}

/// A batch under way.
class Batch {
  public:
    Batch(std::uint32_t sequence, const char* table) : sequence_(sequence), table_(table) {
        append(64, [&](char* place) { return nftnl_batch_begin(place, sequence_); });
    }

    /// One message with all of the elements that are in `which`.
    void elements(NatSet which, std::span<const NatElement> elements, std::uint16_t type,
                  With with) {
        const Set set = make_set(table_, name_of(which));
        built_ = built_ && set;
        std::size_t count = 0;
        for (const NatElement& element : elements) {
            if (element.set != which || !built_) continue;
            built_ = put_element(set.get(), element, with);
            ++count;
        }
        if (count == 0 || !built_) return;
        const std::uint16_t flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
        append(room_for_elements(count, kElement), [&](char* place) {
            return write_elements(place, set.get(), type, flags, ++sequence_);
        });
    }

    void rule(nftnl_rule* rule, std::uint16_t type, std::uint16_t flags) {
        append(1024, [&](char* place) {
            nlmsghdr* message =
                nftnl_nlmsg_build_hdr(place, type, NFPROTO_INET, flags, ++sequence_);
            nftnl_rule_nlmsg_build_payload(message, rule);
            return message;
        });
    }

    /// The bytes; nothing if libnftnl was out of memory.
    [[nodiscard]] std::optional<Buffer> end() && {
        if (!built_) return std::nullopt;
        if (last_ != 0) {
            nlmsghdr head{};
            std::memcpy(&head, out_.data() + last_, sizeof head);
            head.nlmsg_flags |= NLM_F_ACK;
            std::memcpy(out_.data() + last_, &head, sizeof head);
        }
        append(64, [&](char* place) { return nftnl_batch_end(place, ++sequence_); });
        return std::move(out_);
    }

  private:
    /// Appends what `fill` writes at a place with room for `room` bytes.
    template <class Fill>
    void append(std::size_t room, Fill&& fill) {
        last_ = out_.size();
        append_message(out_, room, std::forward<Fill>(fill));
    }

    Buffer out_;
    std::size_t last_ = 0;  // where the last message begins; 0: that is the batch's head
    std::uint32_t sequence_;
    const char* table_;
    bool built_ = true;
};

std::optional<Endpoint> take_endpoint(Bytes& bytes) {
    if (bytes.size() < kEndpointSize) return std::nullopt;
    const Endpoint endpoint{IpAddress::ipv4(bytes.first<4>()),
                            static_cast<Port>(bytes[4] << 8U | bytes[5])};
    bytes = bytes.subspan(kEndpointSize);
    return endpoint;
}

bool decode_key(Bytes key, NatElement& element) {
    if (element.set == NatSet::out) {
        if (key.size() < kInterfaceSize) return false;
        const std::string_view name(reinterpret_cast<const char*>(key.data()), kInterfaceSize);
        element.interface = name.substr(0, name.find('\0'));
        key = key.subspan(kInterfaceSize);
    }
    if (has_address(element.set)) {
        if (key.size() < 4) return false;
        element.address = IpAddress::ipv4(key.first<4>());
        key = key.subspan(4);
    }
    const auto endpoint = take_endpoint(key);
    element.key = endpoint.value_or(Endpoint{});
    return endpoint && key.empty();
}

/// The bytes of an NFTA_SET_ELEM_KEY or _DATA.
Bytes value_of(const nlattr* attribute) {
    return payload_of(attributes_in<NFTA_DATA_MAX>(payload_of(attribute))[NFTA_DATA_VALUE]);
}

bool decode_element(const nlattr* attribute, NatElement& element) {
    const auto parts = attributes_in<NFTA_SET_ELEM_MAX>(payload_of(attribute));
    if (const auto* data = parts[NFTA_SET_ELEM_DATA]) {
        auto value = value_of(data);
        element.target = take_endpoint(value);
    }
    if (const auto left = be64(parts[NFTA_SET_ELEM_EXPIRATION])) {
        element.lifetime = std::chrono::milliseconds(*left);
    }
    return decode_key(value_of(parts[NFTA_SET_ELEM_KEY]), element) &&
           element.target.has_value() == is_map(element.set);
}

}  // namespace

const char* name_of(NatSet set) {
    switch (set) {
        case NatSet::in:
            return "in";
        case NatSet::in_from:
            return "in_from";
        case NatSet::contacts:
            return "contacts";
        case NatSet::out:
            return "out";
        case NatSet::signalling:
            return "signalling";
        case NatSet::media:
            return "media";
        case NatSet::hairpin:
            return "hairpin";
        case NatSet::streams:
            return "streams";
        case NatSet::forwarded:
            return "forwarded";
        case NatSet::in_tcp:
            return "in_tcp";
        case NatSet::contacts_tcp:
            return "contacts_tcp";
        case NatSet::signalling_tcp:
            break;
    }
    return "signalling_tcp";
}

Result<Buffer> encode_nat_batch(std::uint32_t sequence, const char* table,
                                std::span<const NatElement> remove,
                                std::span<const NatElement> add) {
    for (const auto& elements : {remove, add}) {
        for (const NatElement& element : elements) {
            if (const int fault = fault_of(element)) {
                return fail_errno("update nft map",
                                  std::string("inet ") + table + " " + name_of(element.set), fault);
            }
        }
    }
    Batch batch(sequence, table);
    for (const NatSet set : kAllNatSets) {
        // A removal fails the batch if the element is not there: it is put there first.
        batch.elements(set, remove, NFT_MSG_NEWSETELEM, With::key_and_target);
        batch.elements(set, remove, NFT_MSG_DELSETELEM, With::key);
        batch.elements(set, add, NFT_MSG_NEWSETELEM, With::key_and_target);
    }
    auto bytes = std::move(batch).end();
    if (!bytes) return fail_errno("update nft map", std::string("inet ") + table, ENOMEM);
    return *std::move(bytes);
}

void encode_list_set(Buffer& out, std::uint32_t sequence, const char* table, NatSet set) {
    append_list_message(out, NFT_MSG_GETSETELEM, NLM_F_DUMP, sequence, table, set);
}

bool decode_elements(Bytes attributes, NatSet set, std::vector<NatElement>& elements) {
    struct Reading {
        NatSet set;
        std::vector<NatElement>& elements;
    } reading{set, elements};
    const auto read = [](const nlattr* attribute, void* data) {
        auto& into = *static_cast<Reading*>(data);
        NatElement element;
        element.set = into.set;
        if (!decode_element(attribute, element)) return MNL_CB_ERROR;
        into.elements.push_back(std::move(element));
        return MNL_CB_OK;
    };
    const auto parts = attributes_in<NFTA_SET_ELEM_LIST_MAX>(attributes);
    const auto list = payload_of(parts[NFTA_SET_ELEM_LIST_ELEMENTS]);
    return mnl_attr_parse_payload(list.data(), list.size(), read, &reading) != MNL_CB_ERROR;
}

Result<Buffer> encode_queue_target(std::uint32_t sequence, const char* chain, QueueNumber first,
                                   std::uint16_t count) {
    const Rule rule(nftnl_rule_alloc());
    nftnl_expr* target = nftnl_expr_alloc("target");
    // struct xt_NFQ_info_v3, padded as iptables pads it; libnftnl frees it.
    constexpr std::size_t kSize = (sizeof(xt_NFQ_info_v3) + 7U) & ~std::size_t{7};
    auto* info = static_cast<xt_NFQ_info_v3*>(std::calloc(1, kSize));
    if (!rule || target == nullptr || info == nullptr) {
        if (target != nullptr) nftnl_expr_free(target);
        std::free(info);
        return fail_errno("write nft rule", chain, ENOMEM);
    }
    const Rule emptied(nftnl_rule_alloc());
    info->queuenum = number(first);
    info->queues_total = count;
    info->flags = NFQ_FLAG_BYPASS;
    nftnl_expr_set(target, NFTNL_EXPR_TG_INFO, info, kSize);
    nftnl_expr_set_u32(target, NFTNL_EXPR_TG_REV, 3);
    nftnl_rule_add_expr(rule.get(), target);  // the rule frees it
    bool built = emptied && nftnl_expr_set_str(target, NFTNL_EXPR_TG_NAME, "NFQUEUE") == 0;
    for (nftnl_rule* one : {rule.get(), emptied.get()}) {
        built = built && nftnl_rule_set_str(one, NFTNL_RULE_TABLE, kMapTable) == 0 &&
                nftnl_rule_set_str(one, NFTNL_RULE_CHAIN, chain) == 0;
        if (built) nftnl_rule_set_u32(one, NFTNL_RULE_FAMILY, NFPROTO_INET);
    }
    if (!built) return fail_errno("write nft rule", chain, ENOMEM);
    Batch batch(sequence, kMapTable);
    batch.rule(emptied.get(), NFT_MSG_DELRULE, 0);
    batch.rule(rule.get(), NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    auto bytes = std::move(batch).end();
    if (!bytes) return fail_errno("write nft rule", chain, ENOMEM);
    return *std::move(bytes);
}

}  // namespace sipnat::netfilter
