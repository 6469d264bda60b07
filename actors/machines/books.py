"""Which prices stand for a market, now and as its first and last before kick-off, whatever order they come in."""

from msgspec.structs import replace

from actors.domain.match import Book


def with_book(books: dict[str, Book], key: str, book: Book, order: tuple[str, ...]) -> dict[str, Book]:
    """Return the books with this one in them, if it is better than what stands there.

    Args:
        books: By market.
        key: The book's market.
        book: As it was sent.
        order: The providers, the most believed first.
    """
    old = books.get(key)
    return {**books, key: book} if old is None or _is_better(book, old, order) else books


def with_opening(books: dict[str, Book], key: str, book: Book, order: tuple[str, ...]) -> dict[str, Book]:
    """Return the opening books with this one in them, if it is earlier than what stands there; else as `with_book`."""
    old = books.get(key)
    if old is None:
        return {**books, key: book}
    is_earlier = book.seq < old.seq if old.provider == book.provider else _is_better(book, old, order)
    return {**books, key: book} if is_earlier else books


def unnumbered(books: dict[str, Book], provider: str) -> dict[str, Book]:
    """Return the books so that whatever the provider sends next is newer: it has begun to count anew."""
    return {key: replace(book, seq=-1) if book.provider == provider else book for key, book in books.items()}


def _is_better(book: Book, old: Book, order: tuple[str, ...]) -> bool:
    """Say whether a book is the newer of one provider; of two providers, the one in play, or the more believed."""
    if old.provider == book.provider:
        return old.seq < book.seq
    return (book.in_play, -order.index(book.provider)) > (old.in_play, -order.index(old.provider))
