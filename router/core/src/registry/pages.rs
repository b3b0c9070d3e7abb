//! Pages: a sorted list cut into short pages that snapshots share. The first write to a page after a
//! snapshot copies that page alone, however long the list is.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::limits::{PAGE_ELEMENTS_MAX, PAGE_SPARE};

/// A sorted list. Its owner knows the order and asks for elements by it.
#[derive(Debug, Clone)]
pub(super) struct Pages<T> {
    /// None is empty.
    pages: Vec<Page<T>>,
}

#[derive(Debug, Clone)]
struct Page<T> {
    /// Of the first element.
    coarse: u32,
    elements: Arc<Vec<T>>,
}

/// What a list consists of.
pub(super) trait Element: Clone {
    /// A number that never falls along the list. It tells most pages apart without a look into them.
    fn coarse(&self) -> u32;
}

/// Where an element is, or where it would have to be. Good until the list changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    page: usize,
    index: usize,
}

impl Place {
    /// Before the first element.
    pub(super) const START: Self = Self { page: 0, index: 0 };
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Element> Pages<T> {
    /// Where the element is that `order` calls equal, or where it would have to be inserted. `order`
    /// says how an element compares to the one that is sought, `coarse` is that one's number.
    pub(super) fn find(&self, coarse: u32, order: impl Fn(&T) -> Ordering) -> Result<Place, Place> {
        let above = self.pages.partition_point(|page| {
            let by_coarse = page.coarse.cmp(&coarse);
            by_coarse.then_with(|| order(&page.elements[0])) != Ordering::Greater
        });
        let page = above.saturating_sub(1);
        let Some(held) = self.pages.get(page) else { return Err(Place::START) };
        match held.elements.binary_search_by(order) {
            Ok(index) => Ok(Place { page, index }),
            Err(index) => Err(Place { page, index }),
        }
    }

    /// Where the elements begin that `order` does not call less.
    pub(super) fn start(&self, coarse: u32, order: impl Fn(&T) -> Ordering) -> Place {
        let order = |element: &T| order(element).then(Ordering::Greater);
        let (Ok(place) | Err(place)) = self.find(coarse, order);
        place
    }

    /// Where the elements begin that `order` calls greater.
    pub(super) fn after(&self, coarse: u32, order: impl Fn(&T) -> Ordering) -> Place {
        let order = |element: &T| order(element).then(Ordering::Less);
        let (Ok(place) | Err(place)) = self.find(coarse, order);
        place
    }

    /// The elements from a place on.
    pub(super) fn from(&self, place: Place) -> impl Iterator<Item = &T> {
        let first =
            self.pages.get(place.page).map_or(&[][..], |page| &page.elements[place.index..]);
        let others = self.pages.get(place.page + 1..).unwrap_or_default();
        first.iter().chain(others.iter().flat_map(|page| page.elements.iter()))
    }

    /// The elements on both sides of where one would have to be inserted.
    pub(super) fn around(&self, place: Place) -> impl Iterator<Item = &T> {
        // A place to insert at is never at the start of a page, but of the first.
        let before = place.index.checked_sub(1);
        let before = before.map(|index| self.get(Place { index, ..place }));
        before.into_iter().chain(self.from(place).next())
    }

    /// All elements.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.from(Place::START)
    }

    pub(super) fn get(&self, place: Place) -> &T {
        &self.pages[place.page].elements[place.index]
    }

    /// The element, to change what its order does not depend on.
    pub(super) fn get_mut(&mut self, place: Place) -> &mut T {
        &mut Arc::make_mut(&mut self.pages[place.page].elements)[place.index]
    }

    /// Inserts an element where it has to be.
    pub(super) fn insert(&mut self, place: Place, element: T) {
        let Place { page, index } = self.with_room(place, &element);
        let page = &mut self.pages[page];
        if index == 0 {
            page.coarse = element.coarse();
        }
        let elements = Arc::make_mut(&mut page.elements);
        if elements.len() == elements.capacity() {
            // Doubling would waste half of what most pages take.
            elements.reserve_exact(PAGE_SPARE);
        }
        elements.insert(index, element);
    }

    /// The same place, in a page that is not full.
    fn with_room(&mut self, place: Place, element: &T) -> Place {
        const HALF: usize = PAGE_ELEMENTS_MAX / 2;
        let Place { page, index } = place;
        let len = self.pages.get(page).map(|page| page.elements.len());
        match len {
            Some(len) if len < PAGE_ELEMENTS_MAX => place,
            Some(len) if index < len || page + 1 < self.pages.len() => {
                let elements = Arc::make_mut(&mut self.pages[page].elements);
                let upper = elements.split_off(HALF);
                elements.shrink_to(HALF + PAGE_SPARE);
                self.pages.insert(page + 1, Page::of(upper));
                match index.checked_sub(HALF) {
                    Some(index) => Place { page: page + 1, index },
                    None => place,
                }
            }
            // Behind all others: what arrives in order, as from a snapshot, fills its pages.
            _ => {
                self.pages.push(Page { coarse: element.coarse(), elements: Arc::default() });
                Place { page: self.pages.len() - 1, index: 0 }
            }
        }
    }

    /// Takes an element out.
    pub(super) fn remove(&mut self, place: Place) -> T {
        let page = &mut self.pages[place.page];
        let elements = Arc::make_mut(&mut page.elements);
        let element = elements.remove(place.index);
        if elements.capacity() - elements.len() > 2 * PAGE_SPARE {
            elements.shrink_to(elements.len() + PAGE_SPARE);
        }
        match elements.first() {
            None => drop(self.pages.remove(place.page)),
            Some(first) => {
                page.coarse = first.coarse();
                self.join(place.page);
                self.join(place.page.saturating_sub(1));
            }
        }
        element
    }

    /// Joins a page with the next if both are short, so that removals leave no crowd of short pages.
    fn join(&mut self, page: usize) {
        let len =
            |page: usize| self.pages.get(page).map_or(PAGE_ELEMENTS_MAX, |p| p.elements.len());
        if len(page) + len(page + 1) <= PAGE_ELEMENTS_MAX / 2 {
            let next = self.pages.remove(page + 1).elements;
            let elements = Arc::make_mut(&mut self.pages[page].elements);
            elements.reserve_exact(next.len() + PAGE_SPARE);
            elements.extend(next.iter().cloned());
        }
    }
}

impl<T: Element> Page<T> {
    fn of(elements: Vec<T>) -> Self {
        Self { coarse: elements[0].coarse(), elements: Arc::new(elements) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    impl Element for u32 {
        fn coarse(&self) -> u32 {
            self / 100
        }
    }

    fn of(numbers: impl IntoIterator<Item = u32>) -> Pages<u32> {
        let mut pages = Pages::default();
        for number in numbers {
            toggle(&mut pages, number);
        }
        pages
    }

    /// Takes the number out if it is there, else puts it in.
    fn toggle(pages: &mut Pages<u32>, number: u32) {
        match pages.find(number / 100, |held| held.cmp(&number)) {
            Ok(place) => assert_eq!(pages.remove(place), number),
            Err(place) => pages.insert(place, number),
        }
    }

    fn capacities(pages: &Pages<u32>) -> impl Iterator<Item = (usize, usize)> {
        pages.pages.iter().map(|page| (page.elements.capacity(), page.elements.len()))
    }

    #[test]
    fn what_arrives_in_order_fills_its_pages() {
        let pages = of(0..1000);
        assert_eq!(pages.pages.len(), 1000_usize.div_ceil(PAGE_ELEMENTS_MAX));
        assert!(capacities(&pages).all(|(capacity, len)| capacity <= len + PAGE_SPARE));
    }

    #[test]
    fn what_is_emptied_leaves_no_short_pages_behind() {
        let mut pages = of(0..10_000);
        (0..10_000).filter(|number| number % 50 > 0).for_each(|number| toggle(&mut pages, number));
        assert!(pages.iter().copied().eq((0..10_000).step_by(50)));
        assert!(pages.pages.len() <= 2 * 200 / (PAGE_ELEMENTS_MAX / 2) + 1);
        assert!(capacities(&pages).all(|(capacity, len)| capacity <= len + 2 * PAGE_SPARE));
    }

    #[test]
    fn a_write_copies_one_page() {
        let mut pages = of(0..1000);
        let before = pages.clone();
        toggle(&mut pages, 500);
        let shared = |page: &&Page<u32>| {
            before.pages.iter().any(|held| Arc::ptr_eq(&held.elements, &page.elements))
        };
        assert_eq!(pages.pages.iter().filter(shared).count(), before.pages.len() - 1);
        assert!(before.iter().copied().eq(0..1000));
    }

    proptest! {
        #[test]
        fn a_list_is_what_a_sorted_vector_would_be(numbers in vec(0..600_u32, 0..2000), at in 0..600_u32) {
            let mut plain = Vec::new();
            for number in &numbers {
                match plain.binary_search(number) {
                    Ok(index) => drop(plain.remove(index)),
                    Err(index) => plain.insert(index, *number),
                }
            }
            let pages = of(numbers);
            prop_assert!(pages.iter().eq(&plain));
            prop_assert!(capacities(&pages).all(|(_, len)| (1..=PAGE_ELEMENTS_MAX).contains(&len)));
            prop_assert!(pages.pages.iter().all(|page| page.coarse == page.elements[0] / 100));
            let from = |place: Place| pages.from(place).copied().collect::<Vec<_>>();
            let start = plain.partition_point(|number| *number < at);
            let after = plain.partition_point(|number| *number <= at);
            prop_assert_eq!(from(pages.start(at / 100, |held| held.cmp(&at))), &plain[start..]);
            prop_assert_eq!(from(pages.after(at / 100, |held| held.cmp(&at))), &plain[after..]);
            let around = |place| pages.around(place).copied().collect::<Vec<_>>();
            if start == after {
                let Err(place) = pages.find(at / 100, |held| held.cmp(&at)) else { unreachable!() };
                prop_assert_eq!(around(place), &plain[start.saturating_sub(1)..plain.len().min(start + 1)]);
            }
            if let Ok(place) = pages.find(at / 100, |held| held.cmp(&at)) {
                prop_assert_eq!(*pages.get(place), at);
            }
        }
    }
}
