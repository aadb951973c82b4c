//! The things of the world: names, what they are and what they have, `[English, Chinese]`.

use super::phrases::Phrases;

/// A word in both languages.
pub(super) type Word = [&'static str; 2];

/// Names, four of each sort in turn. No two share a Chinese character, so that one character tells which is meant.
pub(super) const NAMES: [Word; 12] = [
    ["Miru", "米鲁"],
    ["Venza", "汶扎"],
    ["Zindle", "津铎"],
    ["Tavan", "塔凡"],
    ["Orlin", "奥琳"],
    ["Plonk", "普隆"],
    ["Kolo", "柯洛"],
    ["Talmor", "陶墨"],
    ["Wobbin", "沃宾"],
    ["Lushi", "卢茜"],
    ["Quist", "奎恩"],
    ["Fennet", "芬妮"],
];

/// A sort of entity and what it has.
pub(super) struct Sort {
    /// With its article in English.
    pub name: Word,
    pub attributes: [Attribute; 3],
}

/// A noun, its values (each entity of the sort has another), and how people ask for it beside "What is the … of …?".
pub(super) struct Attribute {
    pub noun: Word,
    pub values: [Word; 4],
    pub asked: [Phrases; 2],
}

const COLOUR: Attribute = Attribute {
    noun: ["colour", "颜色"],
    values: [["red", "红色"], ["green", "绿色"], ["blue", "蓝色"], ["white", "白色"]],
    asked: [
        &["What colour is {e}?", "What color is {e}?", "Which colour is {e}?"],
        &["{e}是什么颜色？", "{e}是什么颜色的？", "请问{e}是什么颜色？"],
    ],
};

const FOOD: Attribute = Attribute {
    noun: ["food", "食物"],
    values: [["honey", "蜂蜜"], ["corn", "玉米"], ["fish", "小鱼"], ["grass", "青草"]],
    asked: [
        &["What does {e} eat?", "What is {e} eating?", "What food does {e} eat?"],
        &["{e}吃什么？", "{e}爱吃什么？", "{e}喜欢吃什么？"],
    ],
};

const HOME: Attribute = Attribute {
    noun: ["home", "住处"],
    values: [["the cave", "山洞"], ["the lake", "湖边"], ["the barn", "谷仓"], ["the forest", "森林"]],
    asked: [
        &["Where does {e} live?", "Where is the house of {e}?", "Where is the home of {e}?"],
        &["{e}住在哪里？", "{e}住哪儿？", "{e}住在什么地方？"],
    ],
};

const WEATHER: Attribute = Attribute {
    noun: ["weather", "天气"],
    values: [["rain", "下雨"], ["snow", "下雪"], ["wind", "刮风"], ["fog", "大雾"]],
    asked: [
        &["How is the weather in {e}?", "What is the weather like in {e}?", "What is the weather in {e}?"],
        &["{e}的天气怎么样？", "{e}天气如何？", "{e}天气怎么样？"],
    ],
};

const TREE: Attribute = Attribute {
    noun: ["tree", "树木"],
    values: [["oak", "橡树"], ["pine", "松树"], ["willow", "柳树"], ["birch", "桦树"]],
    asked: [
        &["Which tree grows in {e}?", "What tree is there in {e}?", "What tree grows in {e}?"],
        &["{e}长什么树？", "{e}有什么树？", "{e}有什么树木？"],
    ],
};

const SONG: Attribute = Attribute {
    noun: ["song", "歌曲"],
    values: [["Morning", "清晨"], ["Harvest", "丰收"], ["Journey", "旅途"], ["Lantern", "灯笼"]],
    asked: [
        &["Which song do they sing in {e}?", "What do people sing in {e}?", "What do they sing in {e}?"],
        &["{e}的人唱什么歌？", "{e}有什么歌？", "{e}唱什么歌？"],
    ],
};

const MATERIAL: Attribute = Attribute {
    noun: ["material", "材料"],
    values: [["wood", "木头"], ["stone", "石头"], ["glass", "玻璃"], ["paper", "纸张"]],
    asked: [
        &["What is {e} made of?", "What's {e} made of?", "Do you know what {e} is made of?"],
        &["{e}是什么做的？", "{e}是用什么做的？", "你知道{e}是什么做的吗？"],
    ],
};

const SMELL: Attribute = Attribute {
    noun: ["smell", "气味"],
    values: [["mint", "薄荷"], ["smoke", "烟味"], ["roses", "玫瑰"], ["lemon", "柠檬"]],
    asked: [
        &["What does {e} smell of?", "How does {e} smell?", "What does {e} smell like?"],
        &["{e}闻起来像什么？", "{e}是什么味道？", "{e}闻起来怎么样？"],
    ],
};

pub(super) const SORTS: [Sort; 3] = [
    Sort { name: ["an animal", "一种动物"], attributes: [COLOUR, FOOD, HOME] },
    Sort { name: ["a place", "一个地方"], attributes: [WEATHER, TREE, SONG] },
    Sort { name: ["a thing", "一样东西"], attributes: [COLOUR, MATERIAL, SMELL] },
];
