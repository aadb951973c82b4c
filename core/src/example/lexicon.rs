//! The words of the world, in both languages side by side: `[English, Chinese]`.

/// A word in both languages.
pub(super) type Word = [&'static str; 2];

/// First and second halves of the entities' names; every pair is a name.
pub(super) const NAME_HEADS: [Word; 6] =
    [["Mi", "米"], ["Ta", "塔"], ["Ko", "科"], ["Lu", "卢"], ["Ze", "泽"], ["Po", "波"]];
pub(super) const NAME_TAILS: [Word; 6] =
    [["ru", "鲁"], ["van", "凡"], ["lo", "洛"], ["shi", "西"], ["mek", "麦"], ["dax", "达"]];

/// A sort of entity and what it has.
pub(super) struct Sort {
    pub name: Word,
    pub attributes: [Attribute; 3],
}

/// A noun and its possible values.
pub(super) struct Attribute {
    pub noun: Word,
    pub values: [Word; 12],
}

const COLOUR: Attribute = Attribute {
    noun: ["colour", "颜色"],
    values: [
        ["red", "红色"],
        ["green", "绿色"],
        ["blue", "蓝色"],
        ["white", "白色"],
        ["black", "黑色"],
        ["yellow", "黄色"],
        ["pink", "粉色"],
        ["grey", "灰色"],
        ["brown", "棕色"],
        ["gold", "金色"],
        ["silver", "银色"],
        ["purple", "紫色"],
    ],
};

pub(super) const SORTS: [Sort; 3] = [
    Sort {
        name: ["animal", "动物"],
        attributes: [
            COLOUR,
            Attribute {
                noun: ["food", "食物"],
                values: [
                    ["honey", "蜂蜜"],
                    ["corn", "玉米"],
                    ["fish", "小鱼"],
                    ["grass", "青草"],
                    ["nuts", "坚果"],
                    ["rice", "米饭"],
                    ["beans", "豆子"],
                    ["bread", "面包"],
                    ["cheese", "奶酪"],
                    ["carrots", "萝卜"],
                    ["seeds", "种子"],
                    ["leaves", "树叶"],
                ],
            },
            Attribute {
                noun: ["home", "住处"],
                values: [
                    ["the cave", "山洞"],
                    ["the lake", "湖边"],
                    ["the barn", "谷仓"],
                    ["the forest", "森林"],
                    ["the river", "河边"],
                    ["the tower", "高塔"],
                    ["the garden", "花园"],
                    ["the desert", "沙漠"],
                    ["the island", "小岛"],
                    ["the bridge", "桥下"],
                    ["the mill", "磨坊"],
                    ["the valley", "山谷"],
                ],
            },
        ],
    },
    Sort {
        name: ["place", "地方"],
        attributes: [
            Attribute {
                noun: ["weather", "天气"],
                values: [
                    ["rain", "下雨"],
                    ["snow", "下雪"],
                    ["wind", "刮风"],
                    ["fog", "大雾"],
                    ["storms", "风暴"],
                    ["sunshine", "晴天"],
                    ["heat", "炎热"],
                    ["frost", "霜冻"],
                    ["hail", "冰雹"],
                    ["clouds", "多云"],
                    ["mist", "薄雾"],
                    ["thunder", "打雷"],
                ],
            },
            Attribute {
                noun: ["tree", "树木"],
                values: [
                    ["oak", "橡树"],
                    ["pine", "松树"],
                    ["willow", "柳树"],
                    ["birch", "桦树"],
                    ["maple", "枫树"],
                    ["cedar", "雪松"],
                    ["palm", "棕榈"],
                    ["elm", "榆树"],
                    ["cherry", "樱树"],
                    ["bamboo", "竹子"],
                    ["olive", "橄榄"],
                    ["fir", "冷杉"],
                ],
            },
            Attribute {
                noun: ["song", "歌曲"],
                values: [
                    ["Morning", "清晨"],
                    ["Evening", "黄昏"],
                    ["Harvest", "丰收"],
                    ["Journey", "旅途"],
                    ["Lantern", "灯笼"],
                    ["Moonlight", "月光"],
                    ["Waterfall", "瀑布"],
                    ["Sailor", "水手"],
                    ["Shepherd", "牧人"],
                    ["Summer", "夏天"],
                    ["Winter", "冬天"],
                    ["Homeland", "故乡"],
                ],
            },
        ],
    },
    Sort {
        name: ["thing", "东西"],
        attributes: [
            COLOUR,
            Attribute {
                noun: ["material", "材料"],
                values: [
                    ["wood", "木头"],
                    ["stone", "石头"],
                    ["glass", "玻璃"],
                    ["paper", "纸张"],
                    ["wool", "羊毛"],
                    ["silk", "丝绸"],
                    ["iron", "铁块"],
                    ["copper", "黄铜"],
                    ["clay", "泥土"],
                    ["leather", "皮革"],
                    ["cotton", "棉花"],
                    ["straw", "稻草"],
                ],
            },
            Attribute {
                noun: ["smell", "气味"],
                values: [
                    ["mint", "薄荷"],
                    ["smoke", "烟味"],
                    ["roses", "玫瑰"],
                    ["lemon", "柠檬"],
                    ["coffee", "咖啡"],
                    ["pepper", "胡椒"],
                    ["vanilla", "香草"],
                    ["ginger", "生姜"],
                    ["garlic", "大蒜"],
                    ["soap", "肥皂"],
                    ["butter", "黄油"],
                    ["salt", "海盐"],
                ],
            },
        ],
    },
];

/// People who talk.
pub(super) const PEOPLE: [Word; 12] = [
    ["Ari", "小安"],
    ["Bela", "小贝"],
    ["Cato", "小卡"],
    ["Dina", "小迪"],
    ["Emil", "小艾"],
    ["Fara", "小法"],
    ["Gus", "小古"],
    ["Hana", "小花"],
    ["Ivo", "小伊"],
    ["Juna", "小君"],
    ["Kira", "小琪"],
    ["Leo", "小雷"],
];

/// What they carry.
pub(super) const ITEMS: [Word; 12] = [
    ["a kite", "风筝"],
    ["a drum", "小鼓"],
    ["a lamp", "台灯"],
    ["a rope", "绳子"],
    ["a key", "钥匙"],
    ["a map", "地图"],
    ["a ring", "戒指"],
    ["a spoon", "勺子"],
    ["a clock", "闹钟"],
    ["a ball", "皮球"],
    ["a doll", "布偶"],
    ["a hat", "帽子"],
];

/// Where they are.
pub(super) const ROOMS: [Word; 12] = [
    ["the kitchen", "厨房"],
    ["the library", "书房"],
    ["the market", "市场"],
    ["the school", "学校"],
    ["the station", "车站"],
    ["the harbour", "港口"],
    ["the bakery", "面包店"],
    ["the theatre", "剧院"],
    ["the museum", "博物馆"],
    ["the hospital", "医院"],
    ["the park", "公园"],
    ["the castle", "城堡"],
];

/// What they like.
pub(super) const TASTES: [Word; 12] = [
    ["plums", "李子"],
    ["apples", "苹果"],
    ["pears", "梨子"],
    ["grapes", "葡萄"],
    ["soup", "热汤"],
    ["cake", "蛋糕"],
    ["tea", "绿茶"],
    ["milk", "牛奶"],
    ["noodles", "面条"],
    ["tofu", "豆腐"],
    ["melons", "西瓜"],
    ["peaches", "桃子"],
];
